"""What people keep beside dissections: starred neurons in lists, and corrections of captions and labels."""
