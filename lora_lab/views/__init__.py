"""The content of the lab's pages, as HTML and values, without Gradio."""
