"""Style sheets and browser scripts of the explorer, a package so that `importlib.resources` finds them."""
