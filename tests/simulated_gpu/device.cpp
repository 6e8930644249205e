// A PyTorch device whose tensors lie in main memory and whose operators run on the CPU.
//
// It keeps the rules of a GPU that a CPU doesn't have: its tensors are on another device, so operators on
// mixed devices can be refused (device.py), its allocator counts bytes and can run out, and each thread's
// first matrix product allocates a workspace that stays, as cuBLAS does.
#include <ATen/EmptyTensor.h>
#include <ATen/autocast_mode.h>
#include <ATen/native/CPUFallback.h>
#include <ATen/ops/as_strided_cpu_dispatch.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/unfold_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/Allocator.h>
#include <torch/library.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <set>
#include <string>
#include <vector>

namespace {

constexpr int64_t kRounding = 512;             // bytes a block is rounded up to, as in CUDA's allocator
constexpr int64_t kWorkspaceBytes = 32 << 20;  // cuBLAS: 32 MiB per handle on Hopper
constexpr size_t kHeaderBytes = 64;

struct Counter {
  std::atomic<int64_t> now{0}, peak{0};
  void add(int64_t bytes) {
    const int64_t sum = now += bytes;
    int64_t seen = peak.load();
    while (sum > seen && !peak.compare_exchange_weak(seen, sum)) {
    }
  }
};

Counter requested, allocated;
std::atomic<int64_t> limit{0};

int64_t rounded(int64_t bytes) { return (bytes + kRounding - 1) / kRounding * kRounding; }

void free_block(void* data) {
  auto* block = static_cast<char*>(data) - kHeaderBytes;
  const int64_t bytes = *reinterpret_cast<int64_t*>(block);
  requested.add(-bytes);
  allocated.add(-rounded(bytes));
  std::free(block);
}

struct Allocator final : c10::Allocator {
  c10::DataPtr allocate(size_t bytes) override {
    const int64_t wanted = static_cast<int64_t>(bytes);
    TORCH_CHECK_WITH(
        OutOfMemoryError, !limit || allocated.now + rounded(wanted) <= limit,
        "simulated GPU out of memory. Tried to allocate ", wanted, " bytes.");
    auto* block = static_cast<char*>(std::aligned_alloc(64, (bytes + kHeaderBytes + 63) / 64 * 64));
    *reinterpret_cast<int64_t*>(block) = wanted;
    requested.add(wanted);
    allocated.add(rounded(wanted));
    void* data = block + kHeaderBytes;
    return {data, data, &free_block, c10::Device(c10::DeviceType::PrivateUse1, 0)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &free_block; }
  void copy_data(void* to, const void* from, size_t bytes) const override { std::memcpy(to, from, bytes); }
};

Allocator allocator;
REGISTER_ALLOCATOR(c10::DeviceType::PrivateUse1, &allocator);

using at::Tensor;
constexpr c10::DispatchKeySet kKeys(c10::DispatchKey::PrivateUse1);

Tensor on_cpu(const Tensor& tensor) {
  if (tensor.is_cpu()) {
    return tensor;
  }
  const auto options = tensor.options().device(c10::kCPU).requires_grad(false);
  return at::from_blob(tensor.data_ptr(), tensor.sizes(), tensor.strides(), options);
}

Tensor empty(
    c10::SymIntArrayRef size, std::optional<at::ScalarType> type, std::optional<at::Layout>,
    std::optional<at::Device>, std::optional<bool>, std::optional<at::MemoryFormat> format) {
  return at::detail::empty_generic(
      C10_AS_INTARRAYREF_SLOW(size), &allocator, kKeys, c10::dtype_or_default(type), format);
}

Tensor empty_strided(
    c10::SymIntArrayRef size, c10::SymIntArrayRef stride, std::optional<at::ScalarType> type,
    std::optional<at::Layout>, std::optional<at::Device>, std::optional<bool>) {
  return at::detail::empty_strided_generic(
      C10_AS_INTARRAYREF_SLOW(size), C10_AS_INTARRAYREF_SLOW(stride), &allocator, kKeys,
      c10::dtype_or_default(type));
}

Tensor copy_from(const Tensor& from, const Tensor& to, bool) {
  on_cpu(to).copy_(on_cpu(from));
  return to;
}

Tensor copy_from_and_resize(const Tensor& from, const Tensor& to) {
  if (to.sizes() != from.sizes()) const_cast<Tensor&>(to).resize_(from.sizes());  // a view keeps its strides
  on_cpu(to).copy_(on_cpu(from));
  return to;
}

at::Scalar local_scalar_dense(const Tensor& tensor) { return on_cpu(tensor).item(); }

Tensor view(const Tensor& tensor, c10::SymIntArrayRef size) {
  return at::native::view(tensor, C10_AS_INTARRAYREF_SLOW(size));
}

Tensor as_strided(
    const Tensor& tensor, c10::SymIntArrayRef size, c10::SymIntArrayRef stride,
    std::optional<c10::SymInt> offset) {
  const auto start = offset ? std::optional<int64_t>(offset->guard_int(__FILE__, __LINE__)) : std::nullopt;
  return at::cpu::as_strided(
      tensor, C10_AS_INTARRAYREF_SLOW(size), C10_AS_INTARRAYREF_SLOW(stride), start);
}

Tensor reshape_alias(const Tensor& tensor, c10::SymIntArrayRef size, c10::SymIntArrayRef stride) {
  return at::cpu::as_strided(
      tensor, C10_AS_INTARRAYREF_SLOW(size), C10_AS_INTARRAYREF_SLOW(stride), std::nullopt);
}

Tensor unfold(const Tensor& tensor, int64_t dim, int64_t size, int64_t step) {
  return at::native::unfold(tensor, dim, size, step);
}

const Tensor& resize(const Tensor& tensor, c10::SymIntArrayRef size, std::optional<at::MemoryFormat>) {
  auto* impl = tensor.unsafeGetTensorImpl();
  const auto sizes = C10_AS_INTARRAYREF_SLOW(size);
  int64_t numbers = 1;
  for (const auto each : sizes) {
    numbers *= each;
  }
  const size_t needed = numbers * tensor.itemsize();
  if (impl->storage().nbytes() < needed) {
    impl->set_storage_keep_dtype(c10::Storage(
        c10::Storage::use_byte_size_t(), needed, allocator.allocate(needed), &allocator, true));
  }
  impl->set_sizes_contiguous(sizes);
  return tensor;
}

Tensor& set_storage(
    Tensor& tensor, c10::Storage source, c10::SymInt offset, c10::SymIntArrayRef size,
    c10::SymIntArrayRef stride) {
  auto* impl = tensor.unsafeGetTensorImpl();
  impl->set_storage_keep_dtype(std::move(source));
  impl->set_sizes_and_strides(
      C10_AS_INTARRAYREF_SLOW(size), C10_AS_INTARRAYREF_SLOW(stride), offset.guard_int(__FILE__, __LINE__));
  return tensor;
}

const std::set<std::string> kProducts = {"aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm"};

// A workspace belongs to a thread and is never given back, like a cuBLAS handle's.
void keep_workspace() {
  static std::mutex mutex;
  static auto* kept = new std::vector<c10::DataPtr>();
  thread_local bool has_one = false;
  if (!has_one) {
    has_one = true;
    std::lock_guard<std::mutex> guard(mutex);
    kept->push_back(allocator.allocate(kWorkspaceBytes));
  }
}

void fallback(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  if (kProducts.count(op.schema().name())) {
    keep_workspace();
  }
  at::native::cpu_fallback(op, stack);
}

}  // namespace

TORCH_LIBRARY_IMPL(_, PrivateUse1, m) { m.fallback(torch::CppFunction::makeFromBoxedFunction<&fallback>()); }
TORCH_LIBRARY_IMPL(_, AutocastPrivateUse1, m) { m.fallback(torch::CppFunction::makeFallthrough()); }

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("empty.memory_format", empty);
  m.impl("empty_strided", empty_strided);
  m.impl("_copy_from", copy_from);
  m.impl("_copy_from_and_resize", copy_from_and_resize);
  m.impl("_local_scalar_dense", local_scalar_dense);
  m.impl("view", view);
  m.impl("as_strided", as_strided);
  m.impl("_reshape_alias", reshape_alias);
  m.impl("unfold", unfold);
  m.impl("resize_", resize);
  m.impl("set_.source_Storage_storage_offset", set_storage);
  // One kernel on CPU and CUDA; without this line PyTorch would compose it of several.
  m.impl("silu_backward", torch::CppFunction::makeFromBoxedFunction<&fallback>());
}

// CUDA's own autocast lists.
#define LOWER(...) KERNEL_PRIVATEUSEONE(__VA_ARGS__, lower_precision_fp)
#define FP32(...) KERNEL_PRIVATEUSEONE(__VA_ARGS__, fp32)
#define FP32_OUT(...) KERNEL_PRIVATEUSEONE(__VA_ARGS__, fp32_set_opt_dtype)
#define PROMOTE(...) KERNEL_PRIVATEUSEONE(__VA_ARGS__, promote)
using namespace at::autocast;
TORCH_LIBRARY_IMPL(aten, AutocastPrivateUse1, m) {
  AT_FORALL_LOWER_PRECISION_FP(LOWER)
  AT_FORALL_FP32(FP32)
  AT_FORALL_FP32_SET_OPT_DTYPE(FP32_OUT)
  AT_FORALL_PROMOTE(PROMOTE)
}

extern "C" {
int64_t requested_bytes() { return requested.now; }
int64_t requested_peak_bytes() { return requested.peak; }
int64_t allocated_bytes() { return allocated.now; }
int64_t allocated_peak_bytes() { return allocated.peak; }
void reset_peaks() {
  requested.peak = requested.now.load();
  allocated.peak = allocated.now.load();
}
void set_limit_bytes(int64_t bytes) { limit = bytes; }
}
