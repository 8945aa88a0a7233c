"""What Rust's panics look like to Python: pyo3's ``PanicException``, as obstore and tokenizers may raise it, is no
``Exception``.
"""


class Panic(BaseException):
    """A native library broke."""
