"""What the lab's pages show, as HTML and values, without Gradio."""
