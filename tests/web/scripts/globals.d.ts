// The chart library, which a page loads before its modules.
declare const uPlot: any;
