"""The engines: job queues, worker processes, the local and the Ray engine, chat, inspections."""
