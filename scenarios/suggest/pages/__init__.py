"""What a person looks at: the page to label in, the report, and small pictures."""
