"""I/O, one module per thing driven. Drivers decide nothing; every verb is safe to repeat; foreign errors are
translated here, once.
"""
