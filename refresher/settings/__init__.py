"""What every model of the configuration is made of: base model, kinds of fields, places, problems."""
