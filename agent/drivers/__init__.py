"""I/O, one module for each thing that is driven. Drivers decide nothing; every verb is safe to repeat;
foreign errors are translated here, once.
"""
