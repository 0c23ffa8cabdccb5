"""Reading phases and sequences, and writing frames one at a time.

SimpleITK reads (NRRD, NIfTI, MetaImage, DICOM); what it lets pass and a user would regret (a cut NIfTI file, a spacing
that is not above zero, slices missing from a series) is checked here. Writing is done here, because no library streams
a sequence. Geometry is carried through as it is, oblique and left-handed directions included.
"""
