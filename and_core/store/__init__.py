"""A dissection on disk: manifest, tables, arrays; atomic writing, checking, reading."""
