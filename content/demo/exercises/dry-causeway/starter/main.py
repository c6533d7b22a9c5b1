import sys

lines = sys.stdin.read().splitlines()
level, count = lines[0].split()
# Your code comes here.
