"""The pages and routes of a class: plain HTML and JSON beside the app's other pages."""
