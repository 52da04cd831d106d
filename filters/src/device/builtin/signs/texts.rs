//! The texts of all signs. [`Pattern::marked`](super::super::Pattern::marked) explains the marks.

use super::Sign;

/// The signs' texts, with `, ` between them.
pub const TEXTS: &[(Sign, &str)] = &[
    (Sign::Mozilla, "mozilla, ^opera/"),
    (Sign::Engine, "applewebkit, gecko/, like gecko, trident/, presto/, msie , khtml, netfront, opera/, goanna, servo/"),
    (Sign::Compatible, "compatible;, compatible), compatible,, like gecko; "),
    (
        Sign::OldCompatible,
        "msie , konqueror, haiku, webpositive, syllable, ibrowse, amiga, netfront, opera , windows phone, beos, playstation, omniweb, \
         icab, webtv, risc os, kindle, avantgo, elaine, palmos",
    ),
    (
        Sign::Desktop,
        "windows nt, windows 9, windows 2000, windows 3, windows xp, windows me, win98, win95, win9x, win32, winnt, macintosh, \
         mac_powerpc, mac os x 10, mac os x;, macos, x11;, linux i686, linux x86_64, (windows;, windows vista, windows 7, windows 8, \
         windows 10, windows 11, (x86_64), (i386), macbook, imac#, |cros , haiku, beos, amiga, morphos, os/2, freebsd, openbsd, netbsd, \
         sunos, solaris, risc os, syllable, serenityos, ubuntu;, windows/1, windows_, macos|, mac os x version, microsoft windows, \
         win10, windows-media, windows media player, nsplayer, wmfsdk, win16, windows-update, delivery-optimization, \
         microsoft-cryptoapi, ms-office, msoffice, quicktime/, quicktime, os=mac, libreoffice, apple-pubsub, darwin)",
    ),
    (
        Sign::Computer,
        "; 20=, presario, all-in-one, |xps , chromebook, chromebox, ; latitude, ; vostro, ; inspiron, ; aspire, elitebook, probook, \
         thinkpad, ; satellite, ; pavilion, vivobook, zenbook, |vaio, toughbook, lifebook, notebook|, netbook, laptop, |aio|, (pc;, \
         remix mini, remix os, phoenix os, blissos, android-x86, |optiplex, ; precision, cros app, engage one, windows subsystem, \
         |dell |, easynote, extensa, travelmate, macbook",
    ),
    (
        Sign::OldBrowser,
        "ibm webexplorer, worldwideweb, arachne, vimprobable, dplus, liferea, akregator, netnewswire, ^lynx/, ^links (, ^elinks, ^w3m/, \
         ^dillo/, ^netsurf, mosaic, ice browser, ^surf/, itunes/, microsoft office, outlook, ^vlc/, libvlc, ^emacs, ibrowse, \
         thunderbird, charon; inferno, ^sonos, sonos/, ^winamp, foobar2000, ^mpv , ^lavf/, ^songbird, steam client, ^obs/, spotify/",
    ),
    (
        Sign::Crawler,
        "crawl, =agent|, agent-, finder/, finder), finder (, advisor, imageproxy, image proxy, mutant;, daumoa, wappalyzer, spider, \
         scrap, slurp, headless, phantomjs, lighthouse, archiver, archive.org, heritrix, nutch, |wget, |curl/, ^curl, libcurl, python-, \
         |python/, urllib, aiohttp, httpx, libwww-perl, ^libwww, discourse forum, discourse/, |lwp, go-http, |java/#, apache-httpclient, \
         httpclient, http client, http_client, httpunit, guzzle, axios, node-fetch, undici, postman, insomnia/, httpie, scalaj, \
         restsharp, validator, validation, facebookexternalhit, facebookcatalog, externalagent, mediapartners, feedfetcher, feedburner, \
         feedly, uptime, pingdom, statuscake, site24x7, monitor, synthetic, checker, linkcheck, |checklink, scanner, |scan|, nmap, \
         masscan, zgrab, nikto, sqlmap, nuclei, openvas, acunetix, nessus, netcraft, screenshot, webthumb, favicon, unfurl, embedly, \
         iframely, extractor, fetcher, |fetch|, indexer, sniffer, grabber, downloader, copier, webcopy, httrack, sitesucker, teleport, \
         offline explorer, wordpress/, drupal, selenium, playwright, puppeteer, webdriver, cypress/, ptst/, gtmetrix, catchpoint, \
         gomezagent, thousandeyes, dareboost, datanyze, analyzer, analyser, auditor, siteaudit, inspectiontool, inspector, verification, \
         verifier, researcher, |research, webhook, |probe, probe|, health check, healthcheck, health-check, health service, \
         healthservice, search engine, searchengine, webcollage, google favicon, googleother, google-, apis-google, ips-agent, chatgpt, \
         openai, anthropic, claude-, perplexity, cohere, bytespider, ai2bot, appinsights, page speed, pagespeed, imgproxy, \
         googleweblight, burpcollaborator, whatweb, wpscan, libfetch, fasthttp, reqwest, hyper/, rest-client, rest client, ^ruby, \
         securityheaders, google-safety, content scan, contentscan, siteimprove, pageburst, rigor, |ichiro, adbeat, scanning, \
         collapsify, hotjar, perl|, ^php, php/, perl/, jakarta, winhttp, w3c_, w3c-, jigsaw, sitemap, watchdog, certificat, |dcv, \
         ssl labs, cloudflare, amazon-route53, amazon-advertising, amazon cloudfront, amazon simple, azure-, datadog, newrelic, nagios, \
         zabbix, prometheus, grafana, kube-, elb-health, haproxy, varnish, nginx, mj12, ahrefs, semrush, dotbot, yacy, ezooms, \
         ia_archiver, wayback, bitly, bit.ly, mastodon, pleroma, misskey, skypeuri, slackbot, telegrambot, vkshare, bufferbot, \
         flipboardproxy, pinterest/0, hatena",
    ),
    (Sign::Feed, "rss|, |rss, rss/, feed:, feeds, |feed, reader/, reader;, podcast"),
    (
        Sign::Errand,
        "proxy, parser, thumb, -agent|, |ping, survey, verify, preview, seo|, seo:, resolver, detector, optimizer, splash, metadata, \
         synapse, harvest, snapshot, transcoder, duplexweb, archivebox, linktiger",
    ),
    (Sign::Mail, "=@="),
    (Sign::Pad, "pad:, pad_"),
    (Sign::NotPad, "coolpad, padfone, keypad, techpad, tech pad, launchpad, notepad, phonepad"),
    (Sign::Bot, "bot:, |bot, bots:, bot_, robot, -bot"),
    (Sign::NotBot, "bsalsa, cubot, |botho, |botsw, |bottle"),
    (Sign::Contact, "http://, https://, http:/, www., +http, mailto, .com/, .org/, .html, .net/, .io/, =.com|, =.org|, =.ai/"),
    (
        Sign::Console,
        "playstation, nintendo, |xbox, |psp|, |ps2|, |ps3|, |ps4|, |ps5|, dreamcast, dreampassport, dreamkey, planetweb, category=game, \
         gamepad, ; shield), ; shield build, ; switch), ; switch lite, ; switch oled, ; rg35#, ; rg40#, ; rg55#, ; rgcube, \
         msie 6.0; nitro, |wii|, |wiiu, steam deck, |ouya, steamdeck, nintendobrowser, sega , retroid, anbernic, powkiddy, |gpd xd",
    ),
    (
        Sign::Wearable,
        "watchos, watch os, |watch#, |watch|, watch#, watch build, watch), watch;, |gear live, |gear fit, |gear sport, ticwris, rogbid, \
         lokmat, makibes, build/mw=, |lem#, |thor , |appllp, lemfo, zeblaze, kospet, amazfit, |opww, kidphone, wsd-f, suunto, |fossil, \
         smartband, moto 360, vuzix, rokid, xreal, realwear, moverio, smart glasses, |vr build, |vr), vr headset, build/ow=, build/nw=, \
         build/pw=, build/rw=, build/tw=, build/lw=, build/uw=, visionos/, |visionpro, hololens, vive focus, magic leap, |pico , |vr , \
         galaxy watch, pixel watch, |wear os, wearos, android wear, |sm-r#, |sm-l#, |sm-v#, fitbit, google glass, |glass #, glass build, \
         oculusbrowser, ; quest #, ; quest), quest pro, vr safari, |picobrowser, pico neo, ticwatch, smartwatch, smart watch, sony sw2, \
         |gear s, huawei watch, wearable, garmin/, wolvic",
    ),
    (
        Sign::Tv,
        "smart-tv, smart_tv, smarttv, smart tv, =tv build, |tv build, =tv), |tv), hdtv, hbbtv, ce-html, web0s, webos.tv, webos tv, \
         netcast, nettv, netrange, bravia, :viera, philipstv, toshibatp, toshiba-dtv, inettv, opentv, webtv, googletv, google tv, \
         android tv, androidtv, android-tv, appletv, apple tv, tvos, |roku, crkey, chromecast, vidaa, vizio, smartcast, firetv, fire tv, \
         ; aft, ;aft, ^aft, /aft, amazon aft, |tivo, mibox, mi box, mitv, mi tv, tvbox, tv box, tv-box, tv stick, tvstick, tv_box, \
         android box, set-top, settop, set top box, |stb|, :stb_, stb:, |iptv, |ott|, opera tv, opr tv, |omi/, vewd, espial, antgalio, \
         maple2, maple_2, maple 2, maple;, directfb, qtembedded, lg browser, sonydtv, sonycebrowser, |kdl, dvb, |mag2#, mag 2#, |mag3#, \
         |mag4#, |mag5#, infomir, dreambox, enigma2, dune hd, freebox, livebox, |bbox, nexus player, |adt-#, aquosbrowser, aquos tv, \
         hisense_tv, ctv|, plex home theater, hdmi, xumo, (linux armv, (linux mips, (linux sh4, (linux; armv, (linux aarch64, \
         u; linux mips, linux sh4, blu-ray, bluray, bdplayer, bd player, videoweb, boxee, fetchtv, youview, freesat, humax, technisat, \
         sagemcom, skyq, jiostb, stbapp, |onn , onn., streaming stick, streambox, iconbit movie, tvapp, |tv/,  tv browser, tv safari, \
         sraf/, ekioh, nrdp, cobalt/, ytlr, starboard/, tpm1#, brightsign, signage, hybridcast, machblue, zetakey, sunniwell, \
         mbxtwebkit, leanback, (unknown; linux arm, (unknown; linux mips, build/ptt, build/ptm, build/pto, build/qtg, build/qtt, \
         build/qts, build/rtt, build/rtm, build/rto, build/rtx, build/rtk, build/stt, build/stm, build/sto, build/ttt, build/tto, \
         build/utt, build/uto, led1#, led2#, led3#, led4#, led5#, led6#, led7#, led8#, t2s:, t2cs, t2sc, t2su, ts2c, philips tv, \
         sharp tv, panasonic tv, tcl tv, atv:",
    ),
    (Sign::TvWord, "kodi/, xbmc, |dtv, |tv|, |tv#, =tv|, =tv#"),
    (Sign::Tizen, "tizen"),
    (
        Sign::BoxName,
        "; mxq, ; x96, ; tx3, ; tx2, ; tx5, ; tx6, ; tx8, ; tx9, ; h96, ; t95, ; t96, ; a95x, ; hk1, ; m8s, |mbox, |mk8#, |mk9#, |s905, \
         |s912, |s802, |s805, |s812, |p281, |p212, |q201, |gxl, mecool, beelink, tanix, ugoos, minix, |neo-x, |neo-u, zidoo, himedia, \
         egreat, tronsmart, nexbox, wetek, |probox, vontar, pendoo, scishion, alfawise, sunvell, bqeel, |z28, |z69, |g-box, matricom, \
         box:, stick:, dongle, |mygica, |shield, |dv8#, |uhd|, |4k|, tvs|, |m9c, |r69, |k1 plus, |rkm, |ebox, amlogic, |aml, |hisi, \
         |hi37, allwinner h, projector, xgimi, ai pont, |mbx, ; m96, ; n96, ; w95, magicsee, yundoo, |kivi, |jvc, vestel, |unt40#, \
         ; b866, ; b760, ematic agt, cloudwalker, streamer, led tv, |oled, |qled, |sei#, geniatech, |dtv, |iptv, nokia streaming, |kstb, \
         |hmb#, |eltex, |rombica, |dune, |km9, |km8, |km6, |km5, |km3|, rk322, rk331, rk332, rk336, rk339, |v88|",
    ),
    (
        Sign::TvModel,
        " shell , _shell_, player build, player), |media player, ; 19=, _19=, -32l, -24u, -24h, -24n, -24s, -32u, -32h, -32n, -32s, \
         -40u, -40h, -40n, -40s, -43u, -43h, -43n, -43s, -50u, -50h, -50n, -50s, -55u, -55h, -55n, -55s, -65u, -65h, -65n, -65s, -75u, \
         -75h, -75n, -75s, ; 22=, _22=, ; 24=, _24=, ; 28=, _28=, ; 32=, _32=, ; 39=, _39=, ; 40=, _40=, ; 42=, _42=, ; 43=, _43=, \
         ; 48=, _48=, ; 49=, _49=, ; 50=, _50=, ; 55=, _55=, ; 58=, _58=, ; 60=, _60=, ; 65=, _65=, ; 70=, _70=, ; 75=, _75=, ; 77=, \
         _77=, ; 82=, _82=, ; 85=, _85=, ; 86=, _86=, _fhd|, _uhd, uhd_, |evpad",
    ),
    (
        Sign::TabletName,
        "internet tablet, toshiba_ac, |ipad, |kindle, silk-accelerated, playbook, touchpad, hp-tablet, |xoom, nexus 7, nexus_7, nexus 9, \
         nexus 10, nexus7, nexus10, pixel c|, pixel tablet, surface pro tablet, galaxy tab, galaxytab, mediapad, matepad, lifetab, \
         ideatab, yoga tab, android; tablet, (tablet;, wetab, shield tablet, windows nt 6.3; arm, opera tablet, lumia 2520, \
         transformer t, transformer p, eee pad, barnes & noble, |nook, |bntv, |bnrv, |kobo, samsung-gt-p#, samsung-gt-n5#, samsung-gt-n8#",
    ),
    (Sign::TabletWord, "tablet, tab:, |tab, flytouch, |pad-, tab_, webtab, slatebook, |slate "),
    (
        Sign::TabletModel,
        "; t1#, ; t2#, ; p2#, ; p8#, ; excer, celkon ct, celkon_ct, jay-tech, |select7, tablet, _tab, inch|, |pad#, nomi_c0, nomi_c1, \
         |bq-8#, |bq-9#, |viva_, |readboy, |navitel, |htc a10, |rmd, |iball, nokia t#, |ginzzu gt, |flyer, _flyer, |supernova, |quadra, \
         |mt0#,  3g|, _3g|,  wifi|, _wifi|,  10.1|, _10|, |kids, |kid|, ; tz#, |optima , |plane , |platina, |citi , |bq-1#, |bq-7#, \
         -w09|, -w19|, -w10|, -w00|, -w29|, -w59|, -w20|, -w60|, -w69|, -w39|, |tb-x#, |tb-j#, |tb-p#, |tb-v#, _eea|, |d-0#, |d-4#, \
         |d-5#, |sm-t#, |sm-p#, |sm-x#, |gt-p#, |gt-n5#, |gt-n8#, |sch-i800, |sch-i815, |sch-i905, |sch-i915, |sch-i925, |sch-i705, \
         |shw-m180, |shw-m380, |shw-m480, |shw-m500, |shw-m305, |sgh-t849, |sgh-t859, |sgh-t869, |sgh-t779, |sgh-i987, |sgh-i957, \
         |sgh-i497, |sgh-i467, |sph-p#, |sc-01c, |sc-02d, |sc-01d, |sc-01e, |mz5#, |mz6#, |tf#, |me17, |me18, |me30, |me37, |me57, \
         |k00#, |k01#, sgp3#, sgp4#, sgp5#, sgp6#, sgp7#, sgpt, xperia tablet, tablet z, tablet s, ; kf, |lg-v#, |vk8, |a1-#, |a3-#, \
         |b1-#, |b3-#, iconia, streak 7, streak 10, streak_10, streak pro, streak_pro, |venue 7, |venue 8, |venue 10, thrive, |at1#, \
         |at2#, |at3#, |at5#, |at7-, |at10, folio, archos 7, archos 8, archos 9, archos 10, archos a7, archos a1, archos5, archos7, \
         ; an7, ; an8, ; an9g, ; an10, arnova, |tb-#, |tb#, lenovo b6, lenovo b8, lenovo a1_, lenovo a1-, lenovo a1000, lenovo a2107, \
         lenovo a3000, lenovo a3300, lenovo a3500, lenovo a5500, lenovo s6000, lenovo s5000, |yt3, |yt-, |yb1-, mid#, |mid|, pmid, \
         |midc#, |pmp#, |pmt#, |tpc, |tp-#, |nid_, |tad-, |tac-, |taq-, |tm-7#, |tm-8#, |tm-9#, |qs#, |m-mp, |mp7#, |mp8#, |mp9#, |mpdc, \
         |mpqc, kyros, novo#, ainol, |momo#, 0gt:, 1gt:, 3gt:, 5gt:, 8gt:, 9gt:, 0gt_, 5gt_, 8gt_, |pipo, ployer, yarvik, |odys|, \
         |xenta, |goclever, |hsg#, hannspree, playtab, sero 7, slate 7, slate 8, slate 10, slate7, |slate, |hs-7d, |hs-9d, |hs-10d, \
         surftab, |next#, nextbook, |pov, coby, bioniq, touch9#, |aoson, |ifive, |onda, |teclast, |chuwi, |vi10, |hi10, |hi12, \
         alldocube, ; iplay, blackview tab, |oukitel rt, doogee t, |t10|, |t20|, |t30|, ; agr-w, ; ags, ; bah, ; bzt, ; bzk, ; cmr, \
         ; jdn, ; kob, ; sht, ; vrd, ; mrx, ; scm, ; dby, ; wgr, ; btv, |ple-, |cpn-, |agm-, |21051182, |22081283, |23043, ; opd#, \
         |lifetab, |mediacom, |smartpad, smarttab, |vivotab, |bb-, |xoro, |versus, |lexibook, |skytex, |proscan, |rct#, |dl#, |ns-p, \
         |ns-1, |qmv#, |qtab, |portal, |ct1#, |ct7#, |ct8#, |ct9#, funbook, |edison, |elcano, |maxwell, |curie, |pascal, |kepler, \
         livingstone, xpress, |boox, |inkpad, pocketbook, |remarkable, fire hd, |novo, aquila 0, rapax, xelio, |ieos, |pedi, |noon, \
         |loox, |nabi, nabi2, |mfc1, |mfc2, dslide, smartq, captiva, informer, clanga, |st70, |st80, |st90, |st10, |sn70, |sn10, |sn14, \
         |plt, imagine 7, imagine 8, imagine 10, touchmate, enot-, |mw07, |mw08, |ct 9, |ct 8, micromax p, ideos s7, huawei s7, |s7-, \
         transformer, |kindle, |nxm#, |datam#, |lencm#, |efm#, |dem#, |carlm#, |pom#, |ifqm#, |gem1#, |archm#, |asm#, |inm#, |acgm#, \
         |ham1#, |mvm#, |adm8, |stm7, |lubm, airis one, |airis s, |airis t, |airis g, |rc07, |rc08, |rc10, |rc78, |rc97, |lc07, |lc08, \
         |lc09, |lc10, |bc97, |p01m, |p01y, |p01z, |p00a, |p00c, |p008, |p022, |p023, |p024, |p027, |p028, lenovo a7600, |nt-0, |nt-1, \
         |nt-3, woxter nimbus, |pid7, |pid8, |pid9, |pa7#, |pa10, |tablo, |zania, |luna tab, |qx7, |qx8, |qx9, |qx10, pipo, |max-m, \
         |nx8, |nx00, prime_plus, |uno_x, |u9gts, ; m7#, ; m8#, ; m10#, ; m12b, folio 100, |opos, |aeon, fusion2in1, |t-10",
    ),
    (Sign::Android, "android, dalvik, |harmonyos, |adr , linux; u; 2., linux; u; 4., linux;u;, silk/"),
    (Sign::Mobile, "mobile, mobi|, |phone, iemobile, mobi/"),
    (
        Sign::PhoneName,
        "wpdesktop, jig browser, hiptop, ddipocket, cellphone, pocket internet, windows phone, windows ce, windows mobile, blackberry, \
         |bb10, symbian, series60, series40, series 60, s60v, maemo, meego, kaios, sailfish, |bada, firefox os, opera mini, opera mobi, \
         ucweb, ucbrowser/, uc browser, webos/1, webos/2, hpwos, palmos, palmsource, |brew, midp, j2me, |foma, series30, cldc, \
         up.browser, up.link, obigo, teleca, |wap, wap1, wap2, docomo, softbank, vodafone/, kddi, willcom, j-phone, netfront/3, polaris, \
         openwave, blazer, zunewp, xblwp, |lumia, semc, mmp/, |pre/, pixi/",
    ),
    (
        Sign::PhoneModel,
        "|gt-i#, |gt-s#, |gt-b#, |gt-c#, |gt-e#, |gt-m#, |gt-n7#, |gt-l#, |sch-, |sph-, |sgh-, |shv-, |shw-m, |sm-a#, |sm-c#, |sm-e#, \
         |sm-f#, |sm-g#, |sm-j#, |sm-m#, |sm-n#, |sm-s#, |htc, |nokia, xperia, sonyericsson, |lgm, |mot-, |moto , |xt#, |mb#, |droid , \
         droidx, |redmi, |mi #, |hm , |cph#, |rmx#, |in20, pixel #, |nexus one, nexus s, nexus 4, nexus 5, nexus 6, galaxy s, galaxy n, \
         galaxy a, coolpad, desire, sensation, incredible, |evo , wildfire, |cubot, meizu, zopo, |thl, |fly, |jiayu, |im-a#, |pantech, \
         |adr6, |l-0#, |l-4#, |l-5#, |so-0#, |so-4#, |so-5#, |sh-0#, |sh-4#, |sh-5#, |f-0#, |f-4#, |f-5#, |p-0#, |p-4#, |p-5#, |t-0#, \
         |n-0#, |n-4#, |n-5#, |sc-0#, |sc-4#, |sc-5#, |is#, |sol#, |shl#, |kyl#, |v20#, |v21#, |v22#, |v23#, |v24#, |v25#, -an#, -nx#, \
         -lx#",
    ),
    (
        Sign::Maker,
        "|zte, |alcatel, |huawei, |honor, |vivo, |oppo, |oneplus, |tecno, infinix, |itel, |wiko, |doogee, |ulefone, lenovo, |lg-, |lge, \
         micromax, coolpad, gionee, karbonn, samsung, xiaomi, nokia, motorola, |sony, |meizu",
    ),
    (
        Sign::FeaturePhone,
        "^samsung, ^sec-, ^lg, ^mot-, ^nokia, ^sonyericsson, ^ericsson, ^sie-, ^siemens, ^alcatel, ^htc, ^zte, ^huawei, ^hw-, \
         ^blackberry, ^panasonic, ^sharp, ^philips, ^sagem, ^benq, ^haier, ^acer, ^audiovox, ^kyocera, ^sanyo, ^pantech, ^motorola, \
         ^palm, ^dell, ^lenovo, ^amoi, ^bird, ^tcl, ^coolpad, ^gionee, ^vodafone, ^docomo, ^kddi, ^tianyu, ^k-touch, ^ktouch, ^cect, \
         ^sprd, ^doov, ^zopo, ^spice, ^micromax, ^lava, ^karbonn, ^fly, ^g'five, ^gfive, ^nec-, ^toshiba, ^i-mobile, ^imobile, ^iphone, \
         ^i-mate, ^hp ipaq, ^hpipaq, ^juc, ^ucweb, ^iuc, ^oppo, ^vivo, ^xiaomi, ^meizu, ^cricket, ^utstar, ^pg-, ^pcd, ^cdm, ^treo, \
         ^o2 , ^orange, ^t-mobile, ^qc-, ^wap, ^jbr, ^konka, ^hisense, ^mqqbrowser, ^ibrowser/mini, ^htc_, |sony, ^kwc-, device model:, \
         fake_user_agent, series8, huawei/1, ^0huawei, ^onebrowser, ^opera/9.80 (j2me, |dopod, ^asus, ^casio, ^danger, ^mitsu, ^rim, \
         ^portalmmm, ^telit, ^vk, ^maui, ^nexian, ^cross, ^sunmicro",
    ),
    (Sign::Ipad, "ipad"),
    (Sign::Macintosh, "macintosh"),
    (Sign::Iphone, "iphone, |ipod, |ios|, ios/, ios "),
    (Sign::CfNetwork, "cfnetwork"),
    (Sign::Apple, "iphone, |ipod"),
];
