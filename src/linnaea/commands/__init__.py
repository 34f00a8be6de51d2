"""One file a verb: each is the Python call and the command. The only room that joins the others."""
