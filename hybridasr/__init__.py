"""hybridasr: Kaldi-style hybrid DNN-HMM speech recognition in pure Python."""

__version__ = "0.1.0"
