"""From the command line to the end of the process: options, port, the pages shown meanwhile, server, stop."""
