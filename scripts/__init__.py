"""What `make` and the workflows run beside Parley: nothing here is part of the program."""
