"""What is trained: networks in one loop for every regime, closed-form heads, and what they share."""
