"""Models by name: where they come from, how they are loaded and written, on which device."""
