"""The Slicer side of TTTInterpolation: knows slicer, vtk and qt, never torch. The engine is a child process."""
