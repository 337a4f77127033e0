"""Owns what makes kernels from the cache cheap to load: nothing of the compiler is touched.

numba compiles its own memory management in each process, and keeps a parsed form of each kernel in
case that another one is compiled which calls it. Where recognising is all that is done, nothing is
compiled: this saves tens of megabytes and half a second. It knows inner parts of numba, and another
version may have others: then all goes on as numba has it.
"""

import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

_NAME = "memory"  # of the stored library


def lighten_loading(folder: Path | None) -> None:
    """Let numba store its memory management in `folder`, and keep no parsed code of kernels."""
    with suppress(ImportError, AttributeError):
        _close_parsed_code()
    if folder is not None:
        with suppress(ImportError, AttributeError):
            _store_memory_management()


def _close_parsed_code() -> None:
    """Close the intermediate code of what comes from the cache, which is ready to run.

    It takes ten times as much memory as the kernel; who needs it for another kernel parses it
    again.
    """
    from numba.core import codegen

    load = codegen.CPUCodegen.unserialize_library

    def unserialize_library(self: Any, serialized: Any) -> Any:
        library = load(self, serialized)
        with suppress(AttributeError, TypeError, ValueError):
            _, kind, contents = serialized
            if kind == "object":
                code = zlib.compress(contents[1], 1)
                module, library._shared_module = library._shared_module, None
                module.close()
                library._get_module_for_linking = lambda: codegen.ll.parse_bitcode(
                    zlib.decompress(code))
        return library

    codegen.CPUCodegen.unserialize_library = unserialize_library


def _store_memory_management() -> None:
    from numba.core import caching
    from numba.core.runtime import nrtdynmod

    compile_anew, create = nrtdynmod.compile_nrt_functions, nrtdynmod.create_nrt_module
    kind = caching.make_library_cache(_NAME)

    def compile_nrt_functions(context: Any) -> Any:
        with suppress(Exception):  # a cache is not needed
            cache = kind(compile_anew)
            library = cache._load_overload(_NAME, context)
            if library is not None:
                return library
            module, library = create(context)
            library.enable_object_caching()
            library.add_ir_module(module)
            library.finalize()
            cache.save_overload(_NAME, library)
            return library
        return compile_anew(context)

    nrtdynmod.compile_nrt_functions = compile_nrt_functions
