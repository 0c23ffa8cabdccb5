"""How the axis between slices is measured: problems with known answers, methods, figures."""
