"""A program that writes what no pool understands, and goes on."""

import time

if __name__ == "__main__":
    print("Hello! " * 100, flush=True)
    time.sleep(3600)
