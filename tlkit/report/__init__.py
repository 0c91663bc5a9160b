"""The page of a finished run, and the page that compares several."""
