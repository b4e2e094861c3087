"""The site: the page that trains, flashes and watches in a browser, as files for any web server."""
