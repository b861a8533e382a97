"""Using a trained model: windows and hidden tokens in, members in physical units out."""
