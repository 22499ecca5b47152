"""`vp web`: a page that shows what a site recognises and why, its boards, and its history."""
