"""The protocol over HTTP: one app, its routes, who may ask for what, and the process that serves it."""
