"""The look: colours and type of Gradio's own components, matched to `static/page.css`. No font is fetched."""

import gradio as gr

_colors = gr.themes.colors

# Paper and ink, as in page.css; both say every colour for light and for dark.
PAPER, SHEET, INK, SOFT, RULE = "#fbfaf6", "#ffffff", "#1d2329", "#55606b", "#d9d3c7"
PAPER_DARK, SHEET_DARK, INK_DARK, SOFT_DARK, RULE_DARK = "#15181c", "#1c2026", "#e8e4da", "#aab1b9", "#3a414a"
ACCENT, ACCENT_DARK = "#1c4f8f", "#8db8f0"

COLOURS = {  # on a light page, and on a dark one
    "body_background_fill": (PAPER, PAPER_DARK),
    "body_text_color": (INK, INK_DARK),
    "body_text_color_subdued": (SOFT, SOFT_DARK),
    "background_fill_primary": (SHEET, SHEET_DARK),
    "background_fill_secondary": (PAPER, PAPER_DARK),
    "border_color_primary": (RULE, RULE_DARK),
    "block_background_fill": (SHEET, SHEET_DARK),
    "block_border_color": (RULE, RULE_DARK),
    "block_shadow": ("none", "none"),
    "block_info_text_color": (SOFT, SOFT_DARK),
    "block_label_text_color": (SOFT, SOFT_DARK),
    "block_title_text_color": (INK, INK_DARK),
    "input_border_color": ("#7b838c", "#7b838c"),
    "input_placeholder_color": ("#6a737d", "#98a1ab"),
    "checkbox_border_color": ("#7b838c", "#98a1ab"),
    "link_text_color": (ACCENT, ACCENT_DARK),
    "button_primary_background_fill": (ACCENT, ACCENT_DARK),
    "button_primary_background_fill_hover": ("#143c6e", "#b3d0f6"),
    "button_primary_text_color": ("#ffffff", "#10151b"),
    "button_cancel_background_fill": ("#9b2c2c", "#f0a8a0"),
    "button_cancel_text_color": ("#ffffff", "#10151b"),
}

THEME = gr.themes.Default(
    primary_hue=_colors.blue,
    secondary_hue=_colors.blue,
    neutral_hue=_colors.slate,
    radius_size=gr.themes.sizes.radius_sm,
    text_size=gr.themes.sizes.text_md,
    font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "sans-serif"],
    font_mono=["ui-monospace", "Cascadia Mono", "Menlo", "DejaVu Sans Mono", "monospace"],
).set(
    color_accent=ACCENT,
    **{name: light for name, (light, _) in COLOURS.items()},
    **{f"{name}_dark": dark for name, (_, dark) in COLOURS.items()},
)
