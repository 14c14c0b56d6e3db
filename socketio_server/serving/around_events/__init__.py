"""What happens around handlers because it is Django's."""
