"""The Slicer side of TTTInterpolation: knows slicer, vtk and qt, never torch. The engine (ttt4d) runs in a child process."""
