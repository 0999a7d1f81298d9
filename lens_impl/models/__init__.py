"""The models that answer problems: the toy, models of the hub, their prompts and sampling."""
