"""What every model of the configuration consists of: base model, kinds of fields, places, problems."""
