"""What the pages share: data access, theme, HTML pieces, media routes."""
