"""Child processes for what may hang, crash or eat memory: how one is started, what it may do, and a pool of them."""
