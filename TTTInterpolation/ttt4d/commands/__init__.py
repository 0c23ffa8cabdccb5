"""The commands of `ttt4d`: one file a subcommand, and the request and job that they share."""
