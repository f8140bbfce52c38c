"""What people look at: pages that draw from one JSON document, the same in a report and wherever they are served.

The pages are ES modules in `assets`: `main` shows the page that the address names, `pages/` has one module each,
`charts/` what is drawn; all they know comes from the document. `single_file` makes one file of them, which opens
offline. `vendor` holds uPlot as it was published, with its licence and checksums.
"""
