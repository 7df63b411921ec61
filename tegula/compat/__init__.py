"""Other frameworks' names and semantics over Tegula's operations: ``tegula.compat.torch``."""
