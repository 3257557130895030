"""What a user gives: images and labels in any form, and features of them."""
