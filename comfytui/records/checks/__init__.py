"""What validation looks at, one witness a module: the metadata by itself, its summary, its files, its journal."""
