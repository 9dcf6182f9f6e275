"""What people see: results on a terminal, as Markdown, as JSON and as HTML; figures; the page."""
