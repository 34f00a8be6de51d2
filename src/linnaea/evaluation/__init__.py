"""From predictions to judgement."""
