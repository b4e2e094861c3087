"""The HTTP service and its page, `microgpt serve`; needs the extra [serve]."""
