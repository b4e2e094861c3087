"""The HTTP service of `microgpt serve`; needs the extra [serve]."""
