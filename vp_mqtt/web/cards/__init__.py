"""What templates show: cards of cameras and boards, made from the view. Pure."""
