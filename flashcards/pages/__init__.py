"""The Cards page and the card browser."""
