"""What is compared, before anything is played: arms, grids, pictures, checks."""
