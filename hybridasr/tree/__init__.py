"""Decision trees from phones in context to pdfs."""
