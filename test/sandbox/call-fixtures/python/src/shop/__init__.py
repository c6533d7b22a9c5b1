from shapes import Box

__all__ = ["Box"]
