"""Who answers: the toy, models of the hub, prompts, sampling."""
