"""The page frame and its routes: islands, figures, search, documents, files. Below: security, serving."""
