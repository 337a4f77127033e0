"""A stand-in for `sounddevice`: devices that play what a test gives them, and that fail as told."""

import threading
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace


def fake_sounddevice(streams, rates=(16000,), devices=1):
    """Return a module whose streams play one script after the other.

    A script is a list of bytes for blocks, of (bytes, True) where the device lost audio, and of
    functions to call; after it the device ends its stream, or fails to open where the script is
    an error. `rates` are the device's own, for one opening after the other; it has no other.
    """
    module = ModuleType("sounddevice")
    module.__spec__ = ModuleSpec("sounddevice", None)
    module.PortAudioError = type("PortAudioError", (Exception,), {})
    module.default = SimpleNamespace(device=(0, 1))
    module.opened, scripts, left = [], list(streams), list(rates)

    def query_devices(device=None, kind=None):
        listed = [{"name": f"device {n}", "max_input_channels": 1, "default_samplerate": left[0]}
                  for n in range(devices)]
        listed.append({"name": "loudspeaker", "max_input_channels": 0, "default_samplerate": 1.0})
        if kind is None:
            return listed
        if device not in (None, *range(devices)):
            raise ValueError(f"No input device matching {device!r}")
        return listed[device or 0]

    def check_input_settings(samplerate, **_):
        if samplerate != left[0]:
            raise module.PortAudioError("Invalid sample rate")

    class RawInputStream:
        def __init__(self, callback, finished_callback, **settings):
            module.opened.append(settings)
            self.script = scripts.pop(0)
            if isinstance(self.script, Exception):
                raise self.script
            self.callback, self.finished = callback, finished_callback

        def __enter__(self):
            threading.Thread(target=self.play, daemon=True).start()

        def __exit__(self, *_):
            pass

        def play(self):
            for step in self.script:
                if callable(step):
                    step()
                    continue
                contents, overflow = step if isinstance(step, tuple) else (step, False)
                self.callback(contents, len(contents) // 2, None,
                              SimpleNamespace(input_overflow=overflow))
            if len(left) > 1:
                left.pop(0)
            self.finished()

    module.query_devices, module.check_input_settings = query_devices, check_input_settings
    module.RawInputStream = RawInputStream
    module._terminate = module._initialize = lambda: None
    return module
